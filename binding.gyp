# For tools that still run node-gyp (electron-rebuild and the like). CMakeLists.txt describes the build; this only calls it.
{
  "targets": [
    {
      "target_name": "phi2",
      "type": "none",
      "actions": [
        {
          "action_name": "build with CMake",
          "inputs": ["CMakeLists.txt"],
          "outputs": ["build/Release/phi2.node"],
          "action": ["npm", "run", "build"]
        }
      ]
    }
  ]
}
