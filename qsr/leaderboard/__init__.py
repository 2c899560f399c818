"""Floor 6: many rows, one file. Each row is an ordinary experiment; what is here plans, runs and collects them.

    spec      the leaderboard file            plan      rows x seeds -> tasks with their option files and commands
    identity  when a stored result still holds lease     one worker per row, also over hosts and after a crash
    work      one task in a process of its own          run, ray_executor  many of them
    measure   scores, pictures, costs         collect   results -> leaderboard.json; stats and tables draw on it

Importing this package loads nothing.
"""
