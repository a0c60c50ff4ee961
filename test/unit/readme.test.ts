import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, it } from 'node:test'
import { program } from '../../src/cli/commands.js'
import { kebab } from '../../src/cli/options.js'
import { loadCommands } from '../../src/cli/program.js'
import { generateSchema, loadSchema, type OptionSpec } from '../../src/options.js'
import { packageRoot } from '../../src/package-root.js'

const read = (path: string): string => readFileSync(join(packageRoot(), path), 'utf8')
const documents = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'docs/gpu.md', 'docs/toolkit.md']
const readme = read('README.md')
const commands = await loadCommands(program.commands)

describe('the snippets of README', () => {
  const blocks = [...readme.matchAll(/^(<!-- (\S+) -->\n)?```ts\n(.*?)^```$/gms)]
  const examples = readdirSync(join(packageRoot(), 'examples')).filter((name) => name.endsWith('.ts'))

  it('name the example that they show', () => {
    assert.ok(blocks.length > 0)
    for (const [block, , path] of blocks) assert.match(path ?? block, /^examples\/[a-z]+\.ts$/)
  })

  for (const [, , path, text] of blocks) {
    it(`are ${path}, but for its first comment`, () => {
      assert.equal(text, read(path!).replace(/^(\/\/.*\n)+/, ''))
    })
  }

  it('show every example', () => {
    const shown = blocks.map(([, , path]) => path)
    for (const name of examples) assert.ok(shown.includes(`examples/${name}`), `examples/${name} is not in README.md`)
  })

  for (const name of examples) {
    it(`examples/${name} has at most 30 lines and says how to run it`, () => {
      const text = read(`examples/${name}`)
      assert.ok(text.trimEnd().split('\n').length <= 30)
      assert.match(text, new RegExp(`^//.* Run: npx tsx examples/${name}\\b`))
    })
  }
})

describe('the options in README', () => {
  // | `name` | default | what it does |
  const rows = [...readme.matchAll(/^\| `([a-zA-Z]+)` *\| (.+?) +\| (.+?) *\|$/gm)].map(([, name, value]) => ({
    name,
    value,
  }))

  it('are those of the library, all of them', () => {
    const known = [...Object.keys(generateSchema), ...Object.keys(loadSchema)]
    assert.deepEqual(rows.map(({ name }) => name).sort(), known.sort())
  })

  it('have the defaults of the library', () => {
    const schema: Record<string, OptionSpec> = { ...generateSchema, ...loadSchema }
    for (const { name, value } of rows) {
      const expected = schema[name!]?.default
      if (expected !== undefined) assert.equal(value, String(expected), name)
    }
  })
})

describe('the documents', () => {
  for (const document of documents) {
    it(`${document} links to files that exist`, () => {
      const targets = [...read(document).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!)
      for (const target of targets.filter((link) => !/^(https?:|#)/.test(link))) {
        const path = join(packageRoot(), dirname(document), target.replace(/#.*$/, ''))
        assert.ok(existsSync(path), `${document} links to ${target}`)
      }
    })

    it(`${document} names only flags that its commands have`, () => {
      for (const { command, flag } of flagsIn(read(document))) {
        assert.ok(
          flagsOf(command).has(flag.replace(/^--no-/, '--')),
          `${document}: ${flag} is no option of \`${command}\``,
        )
      }
    })

    it(`${document} names only error codes and environment variables that the sources know`, () => {
      const known = new Set([...errorCodes(), ...settings()])
      for (const [name] of read(document).matchAll(/\bPHI2_[A-Z0-9_]+\b/g)) {
        assert.ok(known.has(name), `${document} names ${name}`)
      }
    })

    it(`${document} names only npm scripts that exist`, () => {
      const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
      for (const [, name] of read(document).matchAll(/\bnpm run ([a-z:]+)/g)) {
        assert.ok(name! in scripts, `${document} names npm run ${name}`)
      }
    })
  }

  it('README.md explains every error code', () => {
    for (const code of errorCodes())
      assert.match(readme, new RegExp(`^\\| \`${code}\` *\\|`, 'm'), `${code} is not explained`)
  })
})

/** The commands of this package in lines of shell and in code spans, each with the long flags that it is given. */
function flagsIn(document: string): { command: string; flag: string }[] {
  const shell = [...document.matchAll(/^ *```sh\n(.*?)^ *```$/gms)].flatMap(([, block]) => block!.split('\n'))
  const spans = [...document.replace(/^ *```.*?^ *```$/gms, '').matchAll(/`([^`]+)`/g)].map(([, span]) => span!)
  return [...shell, ...spans].flatMap((line) => {
    if (/^--[a-z-]+$/.test(line)) return [{ command: 'any', flag: line }]
    const [, command, rest] =
      /(npm run build|npm start|(?<=^|\| )phi2 [a-z]+|(?<=^|\| )phi2)\b(.*)$/.exec(line.replace(/ # .*$/, '')) ?? []
    if (command === undefined || rest === undefined) return []
    const named = command === 'npm start' ? `phi2 ${/^ -- ([a-z]+)/.exec(rest)?.[1] ?? ''}`.trim() : command
    return [...rest.matchAll(/(?<= )--[a-z][a-z-]*/g)].map(([flag]) => ({ command: named, flag }))
  })
}

function flagsOf(command: string): Set<string> {
  if (command === 'any') {
    const own = ['npm run build', ...commands.map(({ name }) => `phi2 ${name}`)].flatMap((name) => [...flagsOf(name)])
    return new Set([...own, ...(read('package.json').match(/--[a-z-]+/g) ?? [])])
  }
  if (command === 'npm run build') {
    return new Set([...read('scripts/build.ts').matchAll(/args\.includes\('(--[a-z]+)'\)/g)].map(([, flag]) => flag!))
  }
  const named = commands.find(({ name }) => command === `phi2 ${name}`)
  const { options } = named ?? commands.find(({ name }) => name === program.fallback.name)!
  return new Set([...Object.keys(options), 'help', 'version'].map((name) => `--${kebab(name)}`))
}

function errorCodes(): string[] {
  return [...read('src/errors.ts').matchAll(/^ {2}\| '(PHI2_[A-Z0-9_]+)'$/gm)].map(([, code]) => code!)
}

/** Environment variables that the sources read, and options of the native build. */
function settings(): string[] {
  const sources = ['src', 'native'].flatMap((folder) =>
    readdirSync(join(packageRoot(), folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.(ts|cpp)$/.test(name))
      .map((name) => read(join(folder, name))),
  )
  const used = sources.flatMap((text) => [...text.matchAll(/(?:\benv(?:ironment)?\.|getenv\(")(PHI2_[A-Z]+)/g)])
  const declared = [read('CMakeLists.txt'), read('native/test/CMakeLists.txt')].flatMap((text) => [
    ...text.matchAll(/^option\((PHI2_[A-Z_]+)/gm),
  ])
  return [...used, ...declared].map(([, name]) => name!)
}
