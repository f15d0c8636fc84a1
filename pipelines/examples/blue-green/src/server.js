'use strict';
const http = require('node:http');
const { frontPage } = require('./pages.js');

// Status and text for a path.
function answer(path, revision) {
  switch (path) {
    case '/': return [200, frontPage()];
    case '/health': return [200, 'ok\n'];
    case '/version': return [200, `${revision}\n`];
    default: return [404, 'no such page\n'];
  }
}

function handle(request, response) {
  let status, text;
  try {
    [status, text] = answer(request.url, process.env.REVISION || 'unknown');
  } catch (error) {
    console.error(error);
    [status, text] = [500, 'something went wrong\n'];
  }
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(text);
}

if (require.main === module) {
  const server = http.createServer(handle);
  // The proxy's open requests are answered before the process ends.
  process.on('SIGTERM', () => server.close());
  server.listen(Number(process.env.PORT || 8080), () => console.log('listening'));
}

module.exports = { answer };
