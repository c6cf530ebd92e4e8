"""The model side of persona-curator. It is not built yet; see CHANGELOG.md."""
