"""`python -m squat_deploy`."""

from squat_deploy.cli import main

main()
