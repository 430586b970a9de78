"""What the Hub answers, by topic: functions of one Call each, made routes in ved.localhub.app."""
