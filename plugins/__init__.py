"""The built-in plugins, each as small as one that a user would write."""
