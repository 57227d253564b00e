/**
 * Sockets, time and randomness for tests: nothing happens unless the test says so.
 * With `BUNDLE` set it is the generated bundle that is tested.
 */

const BUNDLE = "../../bindserver/static/bindserver/bindserver.mjs";
const { connect } = await import(process.env.BUNDLE ? BUNDLE : "../src/index.js");

/** What is to be done when the code that runs now has ended. @type {(() => void)[]} */
const soon = [];

/**
 * End the code that runs now: a test says nothing of when it does, so it has whenever a test looks at
 * what was sent, and before and after whatever happens.
 */
export function endTurn() {
  for (let fn = soon.shift(); fn; fn = soon.shift()) fn();
}

/** A clock whose timers fire when it is moved past them. */
export class Clock {
  time = 0;
  #timers = new Map();
  #number = 0;

  now = () => this.time;

  setTimeout = (fn, delay) => {
    this.#number += 1;
    this.#timers.set(this.#number, { at: this.time + delay, fn });
    return this.#number;
  };

  clearTimeout = (timer) => {
    this.#timers.delete(timer);
  };

  queueMicrotask = (fn) => {
    soon.push(fn);
  };

  get pending() {
    endTurn();
    return this.#timers.size;
  }

  pass(milliseconds) {
    endTurn();
    const end = this.time + milliseconds;
    for (let next = this.#next(end); next; next = this.#next(end)) {
      const [number, { at, fn }] = next;
      this.#timers.delete(number);
      this.time = Math.max(this.time, at);
      fn();
      endTurn();
    }
    this.time = end;
  }

  /** Time goes on while the machine sleeps: timers fire late. */
  oversleep(milliseconds) {
    this.time += milliseconds;
    this.pass(0);
  }

  #next(end) {
    return [...this.#timers]
      .filter(([, { at }]) => at <= end)
      .sort(([, a], [, b]) => a.at - b.at)[0];
  }
}

/** Let something happen by itself, not within the code that runs now. */
function happens(fn) {
  endTurn();
  fn();
  endTurn();
}

/** A socket whose other end is the test. */
export class FakeSocket {
  static all = [];
  #sent = [];
  closed = false;
  /** @type {any} */
  onopen = null;
  /** @type {any} */
  onmessage = null;
  /** @type {any} */
  onclose = null;
  /** @type {any} */
  onerror = null;

  constructor(url, protocols) {
    Object.assign(this, { url, protocols });
    FakeSocket.all.push(this);
  }

  send(text) {
    this.#sent.push(text);
  }

  get sent() {
    endTurn();
    return this.#sent;
  }

  close() {
    this.closed = true;
  }

  get messages() {
    return this.sent.map((text) => JSON.parse(text));
  }

  opens() {
    happens(() => this.onopen({}));
    return this;
  }

  says(event, data) {
    this.saysText(JSON.stringify({ event, data }));
  }

  saysText(data) {
    happens(() => this.onmessage({ data }));
  }

  ends(code = 1006, reason = "") {
    happens(() => this.onclose({ code, reason }));
  }

  /** Accept the newest ask, and answer it with a sync. */
  accepts(event, rows, { params = {}, key = "id", cursor = "c1", ref = this.lastRef } = {}) {
    this.says("$subscribed", { ref, event, params, key, ordered: true });
    const named = Object.keys(params).length > 0 ? { params } : {};
    this.says(event, { action: "sync", payload: rows, ...named, cursor });
  }

  get lastRef() {
    return this.messages.at(-1)?.data.ref;
  }
}

/**
 * Return a client with its clock, and functions to look at what happened.
 * @param {Record<string, any>} [options]
 */
export function start(options = {}) {
  const clock = new Clock();
  FakeSocket.all = [];
  const io = connect("ws://shop.example/ws/", {
    WebSocket: FakeSocket,
    random: () => 0.5,
    ...clock,
    ...options,
  });
  const heard = [];
  const listen = (...events) => {
    for (const event of events) {
      io.on(event, (data) => heard.push([event, data]));
    }
  };
  const take = () => heard.splice(0);
  return { io, clock, listen, take, socket: () => FakeSocket.all.at(-1), sockets: FakeSocket.all };
}

/** Return a client that is connected and subscribed to products. */
export function startSubscribed(rows = [{ id: 1 }], options = {}) {
  const session = start(options);
  session.listen("products");
  session.io.emit("products");
  session.socket().opens().accepts("products", rows);
  session.take();
  return session;
}

/** Run `fn` and return the console's warnings and errors meanwhile. */
export function overheard(fn) {
  const lines = [];
  const { warn, error } = console;
  console.warn = console.error = (line) => lines.push(line);
  try {
    fn();
  } finally {
    Object.assign(console, { warn, error });
  }
  return lines;
}
