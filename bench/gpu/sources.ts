/**
 * For scripts/gpu-pack.sh: puts what an installation and a build would fetch into folders, so that both can be done without
 * a network.
 *
 * Usage: sources CHECKOUT APP SOURCES   APP gets node_modules with the dependencies of the package
 */
import { cpSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { engineSources, nodeApiSources } from '../../src/builder/sources.js'

const [checkout, app, sources] = process.argv.slice(2) as [string, string, string]
copyDependencies(checkout)
const engine = await engineSources(join(checkout, 'build'))
cpSync(engine, join(sources, 'llama.cpp'), {
  recursive: true,
  dereference: true,
  filter: (path) => !/\/(\.git|build)$/.test(path),
})
await nodeApiSources(sources)

/** What lies deeper in a package's own node_modules comes along with it. */
function copyDependencies(folder: string): void {
  const { dependencies = {} } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  for (const name of Object.keys(dependencies)) {
    const from = join(checkout, 'node_modules', name)
    const to = join(app, 'node_modules', name)
    if (existsSync(to) || !existsSync(from)) continue
    cpSync(from, to, { recursive: true, dereference: true })
    copyDependencies(from)
  }
}
