/**
 * The curation of MetaHuman OS as one command, to be timed beside `curate run` (benchmarks/scale.py --against).
 *
 *     node --import CHECKOUT/node_modules/tsx/dist/loader.mjs benchmarks/peers/metahuman.mts
 *         --checkout CHECKOUT --home HOME --username NAME [--out FOLDER] [--base-model qwen3-coder:30b] [--stages]
 *
 * To install it, with Node.js 20 or later:
 *
 *     git clone https://github.com/Greg-Aster/metahuman-os CHECKOUT
 *     cd CHECKOUT && git checkout 'a9816f5e^' && npm install --no-save --no-workspaces tsx@4 bcrypt@6
 *
 * Runs the steps 1 to 4 of its brain/agents/fine-tune-cycle.ts, in their order and with their arguments: memory-curator,
 * mode-formatter, schema-manager (in this process, as there), training-exporter; then counts the lines of the dataset,
 * as its step 5 does. No --max: all memories. None of the four asks a language model, nor does step 5; step 6, which
 * rents a GPU, is left out. Nothing of theirs is changed. Two things are in its favour: each stage is `node --import
 * tsx` and not the command `tsx`, which would start one process more for each, and their audit log is off, as it is
 * until someone turns it on.
 *
 * Their code looks for a profile in CHECKOUT/profiles and for its user in CHECKOUT/persona/users.json: NAME becomes a
 * link to HOME/profiles/NAME there, and a user. Their installer writes users.json in the same shape. Without --out the
 * four files go to a temporary folder that is removed. --stages tells the wall seconds of each stage.
 */

import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
  options: {
    checkout: { type: 'string' },
    home: { type: 'string' },
    username: { type: 'string' },
    out: { type: 'string' },
    'base-model': { type: 'string', default: 'qwen3-coder:30b' },
    stages: { type: 'boolean', default: false },
  },
});
if (!options.checkout || !options.home || !options.username) {
  console.error('Name the three: --checkout CHECKOUT --home HOME --username NAME');
  process.exit(2);
}
const checkout = fs.realpathSync(options.checkout);
const username = options.username;

function link(): void {
  const profile = fs.realpathSync(path.join(options.home!, 'profiles', username));
  const name = path.join(checkout, 'profiles', username);
  fs.mkdirSync(path.dirname(name), { recursive: true });
  const there = fs.lstatSync(name, { throwIfNoEntry: false });
  if (there && !there.isSymbolicLink()) {
    console.error(`${name} is a folder of its own. Move it away, or name another --username.`);
    process.exit(2);
  }
  if (there && fs.realpathSync(name) === profile) return;
  fs.rmSync(name, { force: true });
  fs.symlinkSync(profile, name);
}

function enter(): void {
  const file = path.join(checkout, 'persona', 'users.json');
  const store = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf-8')) : { users: [], version: 1 };
  if (store.users.some((user: { username: string }) => user.username === username)) return;
  const createdAt = new Date().toISOString();
  store.users.push({ id: randomUUID(), username, passwordHash: '', role: 'owner', createdAt });
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, JSON.stringify(store, null, 2));
}

function timed(name: string, work: () => void): void {
  const begun = performance.now();
  work();
  if (options.stages) console.log(`${name}: ${((performance.now() - begun) / 1000).toFixed(2)} s`);
}

function agent(name: string, args: string[]): void {
  const loader = pathToFileURL(path.join(checkout, 'node_modules', 'tsx', 'dist', 'loader.mjs')).href;
  const script = path.join(checkout, 'brain', 'agents', `${name}.ts`);
  const done = spawnSync(process.execPath, ['--import', loader, script, ...args], {
    cwd: checkout,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  if (done.status !== 0) {
    console.error(`${name} ended with status ${done.status ?? done.signal}`);
    process.exit(1);
  }
}

link();
enter();
const out = options.out ?? fs.mkdtempSync(path.join(os.tmpdir(), 'metahuman-'));
const [curated, formatted, wrapped, dataset] = [
  'curated_memories.json',
  'formatted_samples.json',
  'schema_applied.json',
  'fine_tune_dataset.jsonl',
].map((name) => path.join(out, name));
const schemas = await import(pathToFileURL(path.join(checkout, 'packages/core/src/schema-manager.ts')).href);
timed('memory-curator', () => agent('memory-curator', ['--username', username, '--output', curated]));
timed('mode-formatter', () => agent('mode-formatter', ['--input', curated, '--output', formatted]));
timed('schema-manager', () => {
  const samples = JSON.parse(fs.readFileSync(formatted, 'utf-8'));
  fs.writeFileSync(wrapped, JSON.stringify(schemas.applySchemaBatch(samples, options['base-model']), null, 2));
});
timed('training-exporter', () => agent('training-exporter', ['--input', wrapped, '--output', dataset]));
const pairs = fs.readFileSync(dataset, 'utf-8').split('\n').filter(Boolean).length;
if (!options.out) fs.rmSync(out, { recursive: true });
console.log(`pairs: ${pairs}`);
