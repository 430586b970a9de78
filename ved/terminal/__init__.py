"""Print to people: colors, widths and bars in a terminal, and plain lines anywhere else.

Only a terminal needs the library rich, and importing it takes time, so `rich` is imported only in
`bars` and `printing`, and these two only for a terminal.
"""
