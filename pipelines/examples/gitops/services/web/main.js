'use strict';
const http = require('node:http');

function page(path) {
  return path === '/health' ? 'ok' : '<h1>The shop</h1>';
}

if (require.main === module) {
  http.createServer((request, response) => {
    response.writeHead(200, { 'content-type': 'text/html' }).end(page(request.url));
  }).listen(8080);
}

module.exports = { page };
