// An upstream that streams what its path says: /CHUNKS/DELAY_MS/SIZE/v1/chat/completions.
// node upstream.js PORT [KEY CERTIFICATE]: with the files, HTTP/1.1 and HTTP/2 over TLS.
"use strict";
const fs = require("node:fs");
const http = require("node:http");
const http2 = require("node:http2");

const DONE = "data: [DONE]\n\n";

function chunk(size) {
  const content = " word" + "x".repeat(size);
  const choices = [{ index: 0, delta: { content }, logprobs: null, finish_reason: null }];
  const event = { id: "chatcmpl-1", object: "chat.completion.chunk", created: 1700000000, model: "guard", choices };
  return Buffer.from(`data: ${JSON.stringify(event)}\n\n`);
}

function stream(response, chunks, delay, data) {
  let left = chunks;
  let timer = null;
  const over = () => { if (timer !== null) clearInterval(timer); };
  const flow = () => {
    while (left-- > 0) if (!response.write(data) && left > 0) return response.once("drain", flow);
    response.end(DONE);
  };
  const step = () => {
    if (left-- > 0) return response.write(data);
    over();
    response.end(DONE);
  };
  response.on("close", () => { over(); left = 0; });
  if (delay === 0) return flow();
  step();
  timer = setInterval(step, delay);
}

function answer(request, response) {
  request.resume();
  request.on("end", () => {
    const [, chunks, delay, size] = request.url.split("/");
    response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
    stream(response, Number(chunks), Number(delay), chunk(Number(size)));
  });
}

const [port, key, cert] = process.argv.slice(2);
const server = key === undefined
  ? http.createServer({ keepAliveTimeout: 600000, highWaterMark: 262144 }, answer)
  : http2.createSecureServer(
      { allowHTTP1: true, key: fs.readFileSync(key), cert: fs.readFileSync(cert),
        settings: { maxConcurrentStreams: 200 } }, answer);
server.listen(Number(port), "127.0.0.1", 4096);
