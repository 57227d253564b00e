// `ws` on Node.js: who says anything has all be told.
import { readFileSync } from "node:fs";
import { WebSocketServer } from "ws";

const payload = readFileSync(new URL("payload.json", import.meta.url), "utf8").trim();
const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]), backlog: 4096 });
server.on("connection", (socket) => {
  socket.on("message", () => {
    for (const client of server.clients) client.send(payload);
  });
});
