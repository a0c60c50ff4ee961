import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type AddonFacts, brokenAddon, missingAddon } from '../../src/addon-missing.js'

const local = '/app/node_modules/phi2/build/Release/phi2.node'
const facts: AddonFacts = {
  platform: 'linux-x64',
  libc: '2.36',
  packages: ['@phi2/linux-x64', '@phi2/darwin-arm64'],
  foreign: undefined,
}

test('a checkout is told to build', () => {
  const text = missingAddon({ ...facts, packages: [] }, local)
  assert.match(text, /for linux-x64 was not found/)
  assert.match(text, /phi2\.node: `npm run build` makes it/)
  assert.doesNotMatch(text, /install/)
})

test('a package that was left out is named, with both remedies', () => {
  const text = missingAddon(facts, local)
  assert.match(text, /@phi2\/linux-x64 is not installed/)
  assert.match(text, /--omit=optional/)
  assert.match(text, /npm install --include=optional/)
  assert.match(text, /npx phi2 build/)
})

test('a platform without a package is told which have one', () => {
  const text = missingAddon({ ...facts, platform: 'freebsd-x64' }, local)
  assert.match(text, /for freebsd-x64 was not found\. There are packages for linux-x64, darwin-arm64\./)
  assert.match(text, /npx phi2 build/)
  assert.doesNotMatch(text, /include=optional/)
})

test('the package of another platform is named: copied node_modules, or Rosetta', () => {
  const text = missingAddon({ ...facts, foreign: '@phi2/darwin-arm64' }, local)
  assert.match(text, /@phi2\/linux-x64 is not installed, but @phi2\/darwin-arm64 is/)
  assert.match(text, /Rosetta/)
  assert.match(text, /This Node is for linux-x64/)
})

test('musl is named as the reason where npm left the package out for it', () => {
  const text = missingAddon({ ...facts, libc: 'musl' }, local)
  assert.match(text, /musl, as in Alpine Linux/)
  assert.match(text, /npx phi2 build/)
  assert.doesNotMatch(text, /include=optional/)
})

test('a glibc that is too old is named in both versions', () => {
  const reason = "/lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.28' not found (required by /app/phi2.node)"
  const text = brokenAddon({ ...facts, libc: '2.27' }, '/app/phi2.node', reason, 'Install again.')
  assert.match(text, /^\/app\/phi2\.node cannot be loaded: it needs glibc 2\.28 or later, and this system has 2\.27\./)
  assert.match(text, /npx phi2 build/)
})

test('a library for glibc on a musl system is named as that', () => {
  const reason =
    'Error loading shared library ld-linux-x86-64.so.2: No such file or directory (needed by /app/phi2.node)'
  assert.match(
    brokenAddon({ ...facts, libc: 'musl' }, '/app/phi2.node', reason, 'Install again.'),
    /for glibc, .* is musl/,
  )
})

for (const reason of [
  '/app/phi2.node: invalid ELF header',
  '/app/phi2.node: wrong ELF class: ELFCLASS32',
  "dlopen(/app/phi2.node): tried: '/app/phi2.node' (mach-o file, but is an incompatible architecture (have 'arm64', need 'x86_64'))",
  '\\\\?\\C:\\app\\phi2.node is not a valid Win32 application.',
]) {
  test(`a library for another processor is named as that: ${reason}`, () => {
    const text = brokenAddon(facts, '/app/phi2.node', reason, 'Install again.')
    assert.match(text, /for another platform or processor than this Node's, linux-x64\. Install again\./)
    assert.ok(text.includes(reason))
  })
}

test('any other reason is passed on with the remedy', () => {
  const text = brokenAddon(facts, '/app/phi2.node', 'libgcc_s.so.1: cannot open shared object file', 'Install again.')
  assert.equal(text, '/app/phi2.node cannot be loaded: libgcc_s.so.1: cannot open shared object file Install again.')
})
