"""The routes of the Hub's API, and which function answers each."""

from __future__ import annotations

from hub.testhub import accounts, commits, content, discussions, info, lfs, refs, xet
from hub.testhub.wire import route

ROUTES = [
    route("GET", "/api/whoami-v2", accounts.whoami),
    route("POST", "/api/validate-yaml", accounts.validate_yaml),
    route("POST", "/api/repos/create", accounts.create_repo),
    route("DELETE", "/api/repos/delete", accounts.delete_repo),
    route("PUT", "/api/models/{repo}/settings", accounts.update_settings),
    route("GET", "/api/models/{repo}/auth-check", accounts.auth_check),
    route("GET", "/api/models/{repo}/auth-check/write", accounts.auth_check_write),
    route("GET", "/api/models", info.list_models),
    route("GET", "/api/models/{repo}", info.model_info),
    route("GET", "/api/models/{repo}/revision/{revision}", info.model_info),
    route("GET", "/api/models/{repo}/tree/{revision}", content.tree),
    route("GET", "/api/models/{repo}/tree/{revision}/{path}", content.tree),
    route("POST", "/api/models/{repo}/paths-info/{revision}", content.paths_info),
    route("GET", "/{repo}/resolve/{revision}/{path}", content.resolve),
    route("GET", "/_cdn/{sha256}", content.download),
    route("GET", "/api/models/{repo}/refs", refs.list_refs),
    route("GET", "/api/models/{repo}/commits/{revision}", refs.list_commits),
    route("POST", "/api/models/{repo}/tag/{revision}", refs.create_tag),
    route("DELETE", "/api/models/{repo}/tag/{tag}", refs.delete_tag),
    route("POST", "/api/models/{repo}/branch/{branch}", refs.create_branch),
    route("DELETE", "/api/models/{repo}/branch/{branch}", refs.delete_branch),
    route("POST", "/api/models/{repo}/preupload/{revision}", commits.preupload),
    route("POST", "/api/models/{repo}/commit/{revision}", commits.commit),
    route("GET", "/api/models/{repo}/xet-write-token/{revision}", xet.write_token),
    route("GET", "/api/models/{repo}/xet-read-token/{revision}", xet.read_token),
    route("POST", "/{repo}.git/info/lfs/objects/batch", lfs.batch),
    route("PUT", "/_lfs/{sha256}", lfs.upload),
    route("POST", "/{repo}.git/info/lfs/objects/verify", lfs.verify),
    route("GET", "/api/models/{repo}/discussions", discussions.list_discussions),
    route("POST", "/api/models/{repo}/discussions", discussions.create),
    route("GET", "/api/models/{repo}/discussions/{number}", discussions.details),
    route("POST", "/api/models/{repo}/discussions/{number}/merge", discussions.merge),
    route("POST", "/api/models/{repo}/discussions/{number}/status", discussions.set_status),
]
