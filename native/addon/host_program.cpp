// Windows only: the import library says node.exe, but the functions of Node-API lie in whatever program has loaded the
// addon (Electron's has another name), or in a libnode.dll beside it.
#include <windows.h>
// After windows.h, which it needs.
#include <delayimp.h>

#include <cstring>

namespace {

FARPROC WINAPI FindHost(unsigned event, DelayLoadInfo* info) {
  if (event != dliNotePreLoadLibrary || _stricmp(info->szDll, "node.exe") != 0) return nullptr;
  HMODULE library = GetModuleHandleA("libnode.dll");
  return reinterpret_cast<FARPROC>(library != nullptr ? library : GetModuleHandleA(nullptr));
}

}  // namespace

// The loader's helper calls it before it looks for a library. Some headers declare it const.
decltype(__pfnDliNotifyHook2) __pfnDliNotifyHook2 = FindHost;
