"""Floor 8: BiBench (Qin et al., ICML 2023, arXiv:2301.11233) on super-resolution, what a binarization is worth on six tracks.

    spec     the file: operators, families, budgets        rows    its trainings, as rows of leaderboards
    reuse    results that are there already                cells   what is measured besides, one file each
    robust, speed, infer   the three kinds of cells        metrics the six formulas, on plain numbers
    scores   from results and cells to the formulas' input collect, tables   bibench.json and what is made of it

Importing this package loads nothing.
"""
