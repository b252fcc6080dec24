"""What is wrong with this installation, in plain words: `manage.py doctor`.

It stands above all other floors, since it looks at all of them.
"""
