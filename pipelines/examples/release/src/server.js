'use strict';
const http = require('node:http');
const { Orders } = require('./orders.js');

async function read(request) {
  let text = '';
  for await (const part of request) {
    text += part;
    if (text.length > 10000) throw new Error('too large');
  }
  return JSON.parse(text);
}

function service(orders, version) {
  return http.createServer(async (request, response) => {
    const answer = (status, body) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(body));
    };
    try {
      if (request.url === '/health') return answer(200, { version });
      if (request.url === '/orders' && request.method === 'GET') return answer(200, orders.all());
      if (request.url === '/orders' && request.method === 'POST') {
        orders.add(await read(request));
        return answer(201, {});
      }
      return answer(404, { error: 'no such page' });
    } catch (error) {
      return answer(400, { error: error.message });
    }
  });
}

if (require.main === module) {
  const server = service(new Orders(process.env.DATA || '.'), process.env.VERSION || 'unknown');
  // Requests that are open are answered before the process ends.
  process.on('SIGTERM', () => server.close());
  server.listen(8080);
}

module.exports = { service };
