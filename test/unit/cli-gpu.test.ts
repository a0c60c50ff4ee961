import assert from 'node:assert/strict'
import { test } from 'node:test'
import { program } from '../../src/cli/commands.js'
import { exitCodeOf } from '../../src/cli/errors.js'
import { runProgram } from '../../src/cli/program.js'
import { fakeContext } from '../cli/fakes.js'

test('wrong uses of phi2 gpu are refused with what is meant', async () => {
  for (const [args, message] of [
    [['install'], /gpu ls, phi2 gpu add or phi2 gpu rm/],
    [['ls', 'cuda'], /takes no names/],
    [['add'], /takes one name/],
    [['add', 'cuda', 'vulkan'], /takes one name/],
    [['add', 'cuda', '--all'], /--all goes with phi2 gpu rm/],
    [['rm'], /--all/],
    [['rm', 'cuda', '--all'], /--all/],
    [['rm', 'cuda', '--force'], /go with phi2 gpu add/],
    [['ls', '--tarball', 'x.tgz'], /go with phi2 gpu add/],
  ] as const) {
    await assert.rejects(runProgram(program, ['gpu', ...args], fakeContext()), (error: Error) => {
      assert.equal(exitCodeOf(error), 2, `${args.join(' ')}: ${error.message}`)
      assert.match(error.message, message)
      return true
    })
  }
})
