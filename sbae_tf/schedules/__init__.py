"""Learning-rate schedules: one file each, `build(learning_rate, steps_per_epoch, steps, *, ...)`.

`build` returns a Keras `LearningRateSchedule`, a function of the step alone.
"""
