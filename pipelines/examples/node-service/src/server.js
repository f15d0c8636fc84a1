'use strict';
const http = require('node:http');
const { total } = require('./basket.js');

function read(request) {
  return new Promise((resolve, reject) => {
    let text = '';
    request.on('data', (part) => {
      text += part;
      if (text.length > 1e6) reject(new Error('too large'));
    });
    request.on('end', () => resolve(text));
    request.on('error', reject);
  });
}

async function handle(request, response) {
  const answer = (status, body) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  };
  try {
    if (request.url === '/health') return answer(200, { revision: process.env.REVISION });
    if (request.url === '/total' && request.method === 'POST') {
      return answer(200, { total: total(JSON.parse(await read(request))) });
    }
    return answer(404, { error: 'no such page' });
  } catch (error) {
    return answer(400, { error: error.message });
  }
}

function start(port) {
  const server = http.createServer(handle);
  return new Promise((resolve) => server.listen(port, () => resolve(server)));
}

if (require.main === module) {
  start(Number(process.env.PORT || 8080)).then((server) => {
    process.on('SIGTERM', () => server.close());
  });
}

module.exports = { start };
