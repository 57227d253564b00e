/** One live query whose params can be exchanged: the old ones end, and their late frames are ignored. */
export class LiveQuery {
  #io;
  #event;
  #params = null;

  /** @param {(data: object) => void} receive called with each frame of the present params */
  constructor(io, event, receive) {
    this.#io = io;
    this.#event = event;
    io.on(event, (data) => {
      if (this.isFor(data.params)) receive(data);
    });
  }

  isFor(params) {
    return this.#params !== null && identity(params) === identity(this.#params);
  }

  setParams(params) {
    const old = this.#params;
    this.#params = params;
    if (old) this.#io.emit(this.#event, { params: old, disconnect: true });
    this.#io.emit(this.#event, { params });
  }
}

/** Params as one string: absent and empty are the same, and so are 3 and "3". */
function identity(params) {
  const given = Object.entries(params ?? {}).filter(([, value]) => value != null && value !== "");
  return JSON.stringify(given.map(([name, value]) => [name, String(value)]).sort());
}
