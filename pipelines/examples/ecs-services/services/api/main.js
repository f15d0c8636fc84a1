'use strict';
const http = require('node:http');

const THINGS = [{ id: 1, name: 'kettle' }, { id: 2, name: 'lamp' }];

function answer(path) {
  if (path === '/health') return [200, { revision: process.env.REVISION }];
  if (path === '/things') return [200, THINGS];
  return [404, { error: 'no such page' }];
}

if (require.main === module) {
  http.createServer((request, response) => {
    const [status, body] = answer(request.url);
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  }).listen(8080);
}

module.exports = { answer };
