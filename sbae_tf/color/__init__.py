"""Color spaces: one file each, with `CHANNELS` and `build() -> ColorSpace`.

One that wants more than photographs says what by a literal `BESIDE`. An option `bands`,
`NAME:LOW:HIGH` of each with commas between them, adds channels of these names to `CHANNELS`.
"""
