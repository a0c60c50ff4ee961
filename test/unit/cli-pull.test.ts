import assert from 'node:assert/strict'
import { test } from 'node:test'
import { program } from '../../src/cli/commands.js'
import { exitCodeOf } from '../../src/cli/errors.js'
import { runProgram } from '../../src/cli/program.js'
import { catalog } from '../../src/models/catalog.js'
import { fakeContext, Sink } from '../cli/fakes.js'
import { temporaryFolder } from '../helpers/model.js'

/** What the program prints with an empty cache. */
async function run(...args: string[]): Promise<string> {
  const stdout = new Sink()
  assert.equal(await runProgram(program, args, fakeContext({ stdout, env: { PHI2_CACHE: temporaryFolder() } })), 0)
  return stdout.text
}

test('wrong uses of pull and cache are refused with what is meant', async () => {
  for (const [args, message] of [
    [['pull', 'a', 'b'], /one name/],
    [['pull', 'q4_k_m', '--list'], /leave out the name/],
    [['pull', '--convert', 'q9_x'], /q4_k_m/],
    [['pull', '--convert', 'iq1_s'], /importance matrix/],
    [['pull', '--no-keep-checkpoint'], /--convert/],
    [['pull', 'q4_k_m', '--convert', 'f16'], /GGUF file/],
    [['pull', '--from', 'github'], /huggingface, modelscope/],
    [['cache', 'wipe'], /cache ls.*cache rm/],
    [['cache', 'rm'], /--all/],
    [['cache', 'rm', 'x', '--all'], /--all/],
    [['cache', 'ls', 'x'], /takes no names/],
    [['cache', 'path', '--all'], /takes no --all/],
  ] as const) {
    await assert.rejects(run(...args), (error: Error) => {
      assert.equal(exitCodeOf(error), 2, `${args.join(' ')}: ${error.message}`)
      assert.match(error.message, message)
      return true
    })
  }
})

test('--list shows the catalog, as a table and for programs', async () => {
  const table = await run('pull', '--list')
  for (const { name } of catalog.models) assert.match(table, new RegExp(`^${name} +\\d\\.\\d\\d GB +MIT`, 'm'))
  assert.match(table, /^q4_k_m +1\.79 GB .*the default/m)
  const list = JSON.parse(await run('pull', '--list', '--json'))
  assert.equal(list.length, catalog.models.length + 1)
  assert.equal(list.find(({ name }: { name: string }) => name === 'q4_k_m').cached, false)
})
