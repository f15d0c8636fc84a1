// GitHub's own libraries, driven by an action's inputs: what the tests of the runner's toolkit run in a sandbox.
// It is in the image `tidegate-test/clients:1` (scripts/images clients), beside the libraries of several generations.

import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';

const input = (name) => process.env[`INPUT_${name.toUpperCase()}`] ?? '';
const lines = (name) => input(name).split('\n').filter(Boolean);
const say = (...words) => console.log(...words);

/** Something that a library exports, whichever kind of module it is. */
async function from(library, name) {
  const file = library.startsWith('@') ? 'core' : library.replace(/\d+$/, '');
  const module = await import(`/opt/clients/node_modules/${library}/lib/${file}.js`);
  return module[name] ?? module.default?.[name];
}

const sum = (path) => createHash('sha256').update(readFileSync(path)).digest('hex').slice(0, 16);

const doings = {
  async save(client) {
    const saveCache = await from(client, 'saveCache');
    const id = await saveCache(lines('paths'), input('key'), { uploadChunkSize: 1 << 20 });
    say(id > 0 || client === 'cache6' || client === 'cache4' ? `saved by ${client}` : `not saved: ${id}`);
  },
  async restore(client) {
    const restoreCache = await from(client, 'restoreCache');
    const found = await restoreCache(lines('paths'), input('key'), lines('restore-keys'));
    say(`found by ${client}:`, found ?? 'nothing');
  },
  async upload(client) {
    const Client = await from(client, 'DefaultArtifactClient');
    const made = await new Client().uploadArtifact(input('name'), lines('paths'), '/workspace', {
      skipArchive: input('raw') === 'true',
    });
    say(`uploaded by ${client}:`, made.id > 0, made.size > 0);
  },
  async download(client) {
    const Client = await from(client, 'DefaultArtifactClient');
    const { artifact } = await new Client().getArtifact(input('name'));
    await new Client().downloadArtifact(artifact.id, { path: input('to') });
    say(`downloaded by ${client}:`, artifact.name);
  },
  async delete(client) {
    const Client = await from(client, 'DefaultArtifactClient');
    await new Client().deleteArtifact(input('name'));
    say(`deleted by ${client}`);
  },
  async list(client) {
    const Client = await from(client, 'DefaultArtifactClient');
    const { artifacts } = await new Client().listArtifacts();
    say(`listed by ${client}:`, artifacts.map((artifact) => artifact.name).sort().join(' '));
  },
  async token() {
    const getIDToken = await from('@actions/core', 'getIDToken');
    const token = await getIDToken(input('audience') || undefined);
    // Whole, it would be hidden.
    say('claims:', Buffer.from(token.split('.')[1], 'base64url').toString());
    say('header:', Buffer.from(token.split('.')[0], 'base64url').toString());
    say('token:', token);
  },
};

try {
  await doings[input('do')](input('client'));
} catch (error) {
  say('error:', error.message.trim());
}
for (const path of lines('sums')) {
  say(`sum ${path}:`, existsSync(path) ? sum(path) : 'missing');
}
