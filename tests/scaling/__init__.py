"""A simulation of loads: does following ``invoices_workers_wanted`` keep the goal, with how many workers?"""
