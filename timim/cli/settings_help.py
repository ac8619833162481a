"""The settings of a server by group, as `timim serve --help` and the reference show them."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

INTRODUCTION = (
    "Every setting can be given by the environment variable TIMIM_ and its name in capitals (TIMIM_DEVICES=one), or in the "
    'file timim.toml (devices = "one"). docs/reference/settings.md describes them.'
)
_GROUPS: dict[str, str] = {
    "Address, data and identity": """host port tls_cert tls_key public_url trusted_proxies proxy_protocol data_dir
        app_id secret_key previous_secret_key admin""",
    "Cluster and database": "database database_replica database_connections bus synchronous new_epoch drain_s",
    "Connections": """max_message_bytes max_frame_bytes hello_interval_s login_timeout_s idle_timeout_s session_queue_bytes
        session_reply_bytes devices requests_in_flight requests_in_flight_shared rest_requests_per_s rest_app_requests_per_s
        user_requests_per_s user_bytes_per_s user_burst_s open_metrics log_level""",
    "Hostile peers": """connection_waiting_bytes stranger_waiting_bytes total_waiting_bytes least_bytes_per_s least_rate_s
        close_s request_head_s max_request_head_bytes connections_per_address connections_per_subnet new_connections_per_s
        violation_pause_s requests_before_login control_frames_per_s fragments_per_message""",
    "Messages and groups": """history_page stranger_messages_per_min stranger_burst group_messages_per_s group_burst_s
        group_members live_room_grace_s live_room_guests friends friends_only recall_window_s
        reactions_per_message users_per_reaction mentions_per_message drafts_per_user marked_conversations groups_per_owner
        receipt_group_members""",
    "Media": """max_image_bytes max_sound_bytes max_file_bytes max_video_bytes media_url_s media_grace_s media_upload_idle_s
        media_sweep_s media_open_uploads media_unnamed_bytes media_receiving
        media_receiving_per_user media_receiving_per_address blobs s3_bucket s3_prefix s3_endpoint
        s3_region s3_access_key s3_secret_key""",
    "Webhooks and offline push": """webhook_url webhook_token webhook_commands webhook_timeout_s webhook_required
        push_url push_token push_timeout_s push_give_up_s""",
    "Translation and voice to text": "translator transcriber provider_timeout_s",
}


class ServeCommand(TyperCommand):
    """Command whose help ends with the names of all settings, by group."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self.epilog = "\n\n".join((INTRODUCTION, *_shown_groups()))
        super().format_help(ctx, formatter)


def setting_groups() -> dict[str, list[str]]:
    """Return the names of all settings by group. A setting that no group names is in the group "Other"."""
    from ..server.settings import Settings

    groups = {title: names.split() for title, names in _GROUPS.items()}
    named = {name for names in groups.values() for name in names}
    if other := [name for name in Settings.model_fields if name not in named]:
        groups["Other"] = other
    return groups


def _shown_groups() -> list[str]:
    try:
        groups = setting_groups()
    except ImportError as exc:
        return [f"The server is not installed ({exc.name} is missing): pip install 'timim\\[server]'"]
    return [f"[bold]{title}[/bold]: {', '.join(names)}" for title, names in groups.items()]
