// A timestamped echo server with Node's own modules. Usage: node node.js tcp|udp PORT, node node.js unix PATH
'use strict';

const dgram = require('node:dgram');
const net = require('node:net');

const CHUNK = 1024;
const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

let second = 0;
let stamp = Buffer.alloc(0);

// The timestamp of this second, rendered once.
function now() {
  const milliseconds = Date.now();
  const current = Math.floor(milliseconds / 1000);
  if (current !== second) {
    second = current;
    const date = new Date(milliseconds);
    const day = String(date.getDate()).padStart(2, ' ');
    const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(n => String(n).padStart(2, '0'));
    stamp = Buffer.from(
      `[${DAYS[date.getDay()]} ${MONTHS[date.getMonth()]} ${day} ${time.join(':')} ${date.getFullYear()}] `);
  }
  return stamp;
}

function reply(bytes) {
  const head = now();
  if (bytes.length <= CHUNK) return Buffer.concat([head, bytes]);
  const parts = [];
  for (let start = 0; start < bytes.length; start += CHUNK) {
    parts.push(head, bytes.subarray(start, start + CHUNK));
  }
  return Buffer.concat(parts);
}

function serve(socket) {
  socket.on('data', bytes => {
    // Node buffers the bytes that the kernel does not accept. Until they have left, do not read.
    if (!socket.write(reply(bytes))) {
      socket.pause();
      socket.once('drain', () => socket.resume());
    }
  });
  socket.on('error', () => socket.destroy());
}

const [transport, where] = process.argv.slice(2);
if (transport === 'udp') {
  const socket = dgram.createSocket({ type: 'udp4', recvBufferSize: 8 << 20 });
  socket.on('message', (bytes, from) => socket.send(Buffer.concat([now(), bytes]), from.port, from.address));
  socket.bind(Number(where), '127.0.0.1');
} else if (transport === 'tcp') {
  net.createServer({ noDelay: true }, serve).listen({ port: Number(where), host: '127.0.0.1', backlog: 4096 });
} else {
  net.createServer(serve).listen({ path: where, backlog: 4096 });
}
