'use strict';
const fs = require('node:fs');
const path = require('node:path');

// A line of JSON for each order, appended: two processes may write at the same time.
class Orders {
  constructor(folder) {
    this.file = path.join(folder, 'orders.jsonl');
  }

  add(order) {
    if (!Number.isInteger(order.count) || order.count < 1) throw new Error('an order counts something');
    fs.appendFileSync(this.file, `${JSON.stringify(order)}\n`);
  }

  all() {
    if (!fs.existsSync(this.file)) return [];
    return fs.readFileSync(this.file, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
  }
}

module.exports = { Orders };
