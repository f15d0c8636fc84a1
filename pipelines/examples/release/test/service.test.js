'use strict';
const assert = require('node:assert');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const test = require('node:test');
const { Orders } = require('../src/orders.js');
const { service } = require('../src/server.js');

test('orders are kept', async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'orders-'));
  const server = service(new Orders(folder), '1.2.3');
  await new Promise((resolve) => server.listen(0, resolve));
  const url = `http://127.0.0.1:${server.address().port}`;
  const post = (body) => fetch(`${url}/orders`, { method: 'POST', body });
  try {
    assert.deepStrictEqual(await (await fetch(`${url}/health`)).json(), { version: '1.2.3' });
    assert.deepStrictEqual(await (await fetch(`${url}/orders`)).json(), []);
    assert.strictEqual((await post('{"thing": "lamp", "count": 2}')).status, 201);
    assert.strictEqual((await post('{"thing": "lamp"}')).status, 400);
    assert.deepStrictEqual(await (await fetch(`${url}/orders`)).json(), [{ thing: 'lamp', count: 2 }]);
    assert.strictEqual((await fetch(`${url}/elsewhere`)).status, 404);
  } finally {
    server.close();
    fs.rmSync(folder, { recursive: true });
  }
});
