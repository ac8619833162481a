"""The input with the message that it answers: sends messages, executes commands, and keeps drafts."""

from __future__ import annotations

from functools import partial

from textual.app import ComposeResult
from textual.message import Message as TextualMessage
from textual.widgets import TextArea

from timim import Conversation, ConversationKey, InvalidArgument, Message, MessageStatus, TimimError

from .commands import parse_command, path_of
from .composer import Composer
from .outgoing import SendQueue, message_of, save_content
from .pane import Pane, Work
from .reply_line import ReplyLine
from .text import clean
from .typing_status import TypingPulse


class WritingPane(Pane):
    """The input of the open conversation."""

    DEFAULT_CSS = """
    WritingPane { height: auto; }
    """

    class MessageShown(TextualMessage):
        """A message that is being sent, was numbered, or failed."""

        def __init__(self, key: ConversationKey, message: Message, *, new: bool) -> None:
            super().__init__()
            self.key = key
            self.message = message
            self.new = new

    class MessageRefused(TextualMessage):
        """A message that was not stored, because it is wrong."""

        def __init__(self, message: Message) -> None:
            super().__init__()
            self.message = message

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._conversation: Conversation | None = None
        self._queue = SendQueue()
        self._draft = ""  # the text that was not typed in this run
        self._pulse = TypingPulse()

    def compose(self) -> ComposeResult:
        """Yield the widgets of this screen or pane."""
        yield ReplyLine(id="reply")
        yield Composer(id="composer")

    @property
    def composer(self) -> Composer:
        """The input."""
        return self.query_one(Composer)

    @property
    def reply(self) -> ReplyLine:
        """The message that the input answers."""
        return self.query_one(ReplyLine)

    def open(self, conversation: Conversation) -> None:
        """Write to a conversation, beginning with its draft."""
        if conversation is not self._conversation:
            self.leave()
            self._conversation = conversation
            self._draft = self.composer.text = ""
            self.take_draft()

    def take_draft(self) -> None:
        """Show the draft of the conversation if another device changed it, and this one did not."""
        conversation = self._conversation
        if conversation is not None and self.composer.text == self._draft and conversation.draft != self._draft:
            self._draft = self.composer.text = conversation.draft
            self.composer.move_cursor(self.composer.document.end)

    def leave(self) -> None:
        """Keep the text of the input as the draft of the conversation."""
        self.reply.show(None)
        self._stop_typing()
        conversation, text = self._conversation, self.composer.text
        if conversation is not None and text != conversation.draft:
            self.work(partial(conversation.set_draft, text), "drafts")

    def answer(self, message: Message) -> None:
        """Answer a message with the next one."""
        self.reply.show(message)
        self.composer.focus()

    def resend(self, message: Message) -> None:
        """Send a failed message again."""
        if message.status is MessageStatus.FAILED:
            self.work(partial(self._send, message.conversation.key, message, message.resend), "sending")
        else:
            self.notice("only a message that failed (✗) can be sent again")

    def save(self, message: Message, folder: str) -> None:
        """Save the files, pictures, sounds and videos of a message in a folder."""
        self.work(partial(self._save, message, folder), "downloads")

    async def _save(self, message: Message, folder: str) -> None:
        saved = await save_content(message, path_of(folder), self.transfer)
        self.notice(f"saved {', '.join(clean(str(path)) for path in saved)}")

    def react(self, message: Message, reaction: str, user_id: str) -> None:
        """Add a reaction to a message, or take it back."""
        mine = user_id in message.reactions.get(reaction, ())
        self.work(partial(message.unreact if mine else message.react, reaction), "reactions")

    def submit(self, text: str) -> None:
        """Send a text, or execute a command."""
        self._stop_typing()
        self.composer.text = ""
        if self._conversation is None:
            self.notice("open a conversation first: F2 lists them, Ctrl+N opens one by its id")
            return
        self.notice("")
        if self._conversation.draft:
            self.work(partial(self._conversation.set_draft, ""), "drafts")
        self.work(partial(self._submit, self._conversation, text), "sending")

    def on_composer_reply_cancelled(self) -> None:
        """Take back the reply."""
        self.reply.show(None)

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Tell the peer that the user is typing."""
        text, conversation = event.text_area.text, self._conversation
        if conversation is None or text == self._draft:
            return
        self._draft = ""
        if not text:
            self._stop_typing()
        elif not self._pulse.touch(conversation):
            self.work(self._pulse.run, "typing", exclusive=True)

    async def _submit(self, conversation: Conversation, text: str) -> None:
        try:
            message = message_of(parse_command(text), text)
            self._queue.enter()
        except TimimError:
            self._restore(text)
            raise
        answered = self.reply.message
        self.reply.show(None)
        progress = self._queue.progress_of(message, self.transfer)
        try:
            sending = partial(conversation.send, message, reply_to=answered, progress=progress)
            await self._send(conversation.key, message, sending, new=True)
        except InvalidArgument:
            if message.status is None:  # it was not stored
                self.post_message(self.MessageRefused(message))
                self._restore(text)
            raise
        finally:
            self._queue.leave()

    async def _send(self, key: ConversationKey, message: Message, sending: Work, *, new: bool = False) -> None:
        self.post_message(self.MessageShown(key, message, new=new))
        try:
            await sending()
        finally:
            self.transfer("")
            self.post_message(self.MessageShown(key, message, new=False))

    def _restore(self, text: str) -> None:
        """Return a text that was not sent to the input, unless the user has begun another one."""
        if self.query(Composer) and not self.composer.text:
            self._draft = self.composer.text = text

    def _stop_typing(self) -> None:
        self._pulse.stop()
        self.workers.cancel_group(self, "typing")
