"""`qsr serve`: a small page on this machine where a dropped picture is enlarged. Nothing that is sent is stored."""
