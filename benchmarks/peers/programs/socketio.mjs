// Socket.IO on Node.js: who says "go" has all be told.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { Server } from "socket.io";

const { data } = JSON.parse(readFileSync(new URL("payload.json", import.meta.url), "utf8"));
const http = createServer();
const io = new Server(http, { transports: ["websocket"], pingInterval: 3_600_000 });
io.on("connection", (socket) => socket.on("go", () => io.emit("products", data)));
http.listen({ host: "127.0.0.1", port: Number(process.argv[2]), backlog: 4096 });
