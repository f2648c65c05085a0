"""What `reidapp` can be asked to do: a file for each command or group of commands. They parse, call and print.

What a command calls is imported inside it, so that help is instant.
"""
