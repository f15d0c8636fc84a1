'use strict';
const http = require('node:http');

const ESCAPES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

function page(things) {
  const escaped = (text) => text.replace(/[&<>"]/g, (sign) => ESCAPES[sign]);
  return `<ul>${things.map((thing) => `<li>${escaped(thing)}</li>`).join('')}</ul>`;
}

if (require.main === module) {
  http.createServer((request, response) => {
    response.writeHead(200, { 'content-type': 'text/html' }).end(page(['kettle', 'lamp']));
  }).listen(8080);
}

module.exports = { page };
