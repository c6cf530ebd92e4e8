"""The built-in plugins, a folder a hook and a file a plugin. They use curator's public names and nothing else of it."""
