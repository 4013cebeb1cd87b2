"""Search: everything that finds a prompt for a goal.

`pez` finds tokens for pictures and texts, `classify` for a language model that has to answer; `soft` learns vectors instead of
tokens. `describe` writes a prompt of a learned language for a picture, `rank` says which phrases fit. `loop` says what an
objective and a mover are: with these two every search over tokens is made, now and later.
"""
