"""The comparison's policy as a Synapse module: refuses knocks by server and by user."""

from fnmatch import fnmatchcase


class KnockRules:
    def __init__(self, config, api):
        self.servers = config["servers"]
        self.users = config["users"]
        api.register_third_party_rules_callbacks(check_event_allowed=self.check)

    @staticmethod
    def parse_config(config):
        return config

    async def check(self, event, state_events):
        if event.type != "m.room.member" or event.content.get("membership") != "knock":
            return True, None
        server = event.sender.split(":", 1)[1].rsplit(":", 1)[0]
        for pattern in self.servers:
            if fnmatchcase(server, pattern):
                return False, None
        for pattern in self.users:
            if fnmatchcase(event.sender, pattern):
                return False, None
        return True, None
