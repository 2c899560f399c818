"""Floor 5: tables, comparison pictures and curves made from results that other rooms have computed."""
