"""Runs that tested nothing must not look like runs that found nothing."""

ALL_SKIPPED = 77  # as in automake's tests


def tell_when_all_were_skipped(session, exitstatus):
    """For pytest_sessionfinish: gives such a run an exit status of its own."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus == 0 and reporter is not None and not reporter.stats.get("passed"):
        session.exitstatus = ALL_SKIPPED
