'use strict';
const http = require('node:http');

// Cents as people read them.
function price(cents) {
  return `${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, '0')}`;
}

function answer(path) {
  if (path === '/health') return [200, { revision: process.env.REVISION }];
  if (path === '/things') return [200, [{ name: 'lamp', price: price(4900) }]];
  return [404, { error: 'no such page' }];
}

if (require.main === module) {
  http.createServer((request, response) => {
    const [status, body] = answer(request.url);
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  }).listen(8080);
}

module.exports = { answer, price };
