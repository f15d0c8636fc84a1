'use strict';
const assert = require('node:assert');
const test = require('node:test');
const { start } = require('../src/server.js');

test('it answers over HTTP', async () => {
  const server = await start(0);
  const url = `http://127.0.0.1:${server.address().port}`;
  try {
    const body = JSON.stringify([{ price: 100, count: 3 }]);
    const good = await fetch(`${url}/total`, { method: 'POST', body });
    assert.deepStrictEqual(await good.json(), { total: 300 });
    assert.strictEqual((await fetch(`${url}/total`, { method: 'POST', body: '{' })).status, 400);
    assert.strictEqual((await fetch(`${url}/elsewhere`)).status, 404);
  } finally {
    server.close();
  }
});
