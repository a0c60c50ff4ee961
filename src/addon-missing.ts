/** What is known where the addon cannot be loaded. */
export interface AddonFacts {
  /** `process.platform` and `process.arch`. */
  platform: string
  /** Version of the C library; `'musl'` is another one than the packages for Linux are built for. */
  libc: string | undefined
  /** The packages with prebuilt addons that this version has. None: a checkout. */
  packages: readonly string[]
  /** One of them that is there, for another platform. */
  foreign: string | undefined
}

/** Why there is no addon, and what to do. */
export function missingAddon({ platform, libc, packages, foreign }: AddonFacts, local: string): string {
  const wanted = `@phi2/${platform}`
  const start = `The native addon for ${platform} was not found.`
  if (packages.length === 0) return `${start} Expected is ${local}: \`npm run build\` makes it in a checkout.`
  if (!packages.includes(wanted)) {
    return `${start} There are packages for ${packages.map(platformOf).join(', ')}. ${buildIt}`
  }
  if (foreign !== undefined) {
    return (
      `${start} The package ${wanted} is not installed, but ${foreign} is: node_modules was installed on another machine, ` +
      `or by a Node for another processor (on a Mac, one of the two may run under Rosetta). This Node is for ` +
      `${platform}. Remove node_modules and install again with it.`
    )
  }
  if (libc === 'musl') {
    return (
      `${start} This system's C library is musl, as in Alpine Linux, and the package ${wanted} is for glibc. ` +
      `Use a system with glibc, such as Debian. ${buildIt}`
    )
  }
  return (
    `${start} The package ${wanted} is not installed: npm leaves it out with --omit=optional, and where the lock file was ` +
    'made on another platform. Install again with `npm install --include=optional`, after removing node_modules and ' +
    `package-lock.json in the latter case. ${buildIt}`
  )
}

/** Why an addon that is there cannot be used, and what to do; `reason` is the system's word. */
export function brokenAddon({ platform, libc }: AddonFacts, path: string, reason: string, remedy: string): string {
  const start = `${path} cannot be loaded`
  const glibc = reason.match(/version `GLIBC_([\d.]+)' not found/)?.[1]
  if (libc === 'musl') {
    return `${start}: it is for glibc, and this system's C library is musl. Use a system with glibc, such as Debian. ${buildIt}`
  }
  if (glibc !== undefined) {
    return `${start}: it needs glibc ${glibc} or later, and this system has ${libc ?? 'an older one'}. ${buildIt}`
  }
  if (/wrong ELF class|invalid ELF header|incompatible architecture|not a valid Win32 application/.test(reason)) {
    return `${start}: it is for another platform or processor than this Node's, ${platform}. ${remedy} (${reason})`
  }
  return `${start}: ${reason} ${remedy}`
}

const buildIt = '`npx phi2 build` builds it here, with a C++ compiler.'

function platformOf(name: string): string {
  return name.replace('@phi2/', '')
}
