// Completes the built extension: Python's version, who installed it; prints its weight, and fails above the limit.
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const LIMIT_KB = 60;
const EXTENSION = '../tokmagic/labextension/';
const bundles = { sidebar: `${EXTENSION}static/`, widget: '../tokmagic/static/' };

const [, version] = /^__version__ = "(.+)"$/m.exec(readFileSync('../tokmagic/__init__.py', 'utf8'));
const description = JSON.parse(readFileSync(`${EXTENSION}package.json`, 'utf8'));
writeFileSync(`${EXTENSION}package.json`, JSON.stringify({ ...description, version }, null, 2) + '\n');
copyFileSync('install.json', `${EXTENSION}install.json`);

for (const [name, folder] of Object.entries(bundles)) {
  const files = readdirSync(folder).filter(file => /\.(js|css)$/.test(file));
  const bytes = files.reduce((sum, file) => sum + gzipSync(readFileSync(folder + file)).length, 0);
  console.log(`${name}: ${(bytes / 1000).toFixed(1)} kB compressed in ${files.length} files`);
  if (bytes > LIMIT_KB * 1000) {
    console.error(`${name} is above ${LIMIT_KB} kB: leave something out.`);
    process.exitCode = 1;
  }
}
