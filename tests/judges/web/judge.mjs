// Drives Tencent's web client as its user would, by lines of JSON: commands on stdin, answers and events on stdout.
//
//   {"id": 1, "do": "login", "userID": "alice", "userSig": "…"}     →  {"id": 1, "ok": {…}} or {"id": 1, "error": {code, message}}
//   events of the client                                            →  {"event": "onMessageReceived", "data": […]}

import "./globals.mjs";
import readline from "node:readline";

const { default: TencentCloudChat } = await import("@tencentcloud/chat");
const out = process.stdout;
const say = (line) => out.write(JSON.stringify(line) + "\n");

// A browser goes on after a rejected promise that nobody caught; so does this, and tells.
process.on("unhandledRejection", (error) => say({ event: "unhandledRejection", data: { code: error?.code, message: error?.message ?? String(error) } }));

const [, , SDKAppID, proxyServer] = process.argv;
const chat = TencentCloudChat.create({ SDKAppID: Number(SDKAppID), proxyServer });
chat.setLogLevel(Number(process.env.CHAT_LOG_LEVEL ?? 4));

const message = (m) => ({
  ID: m.ID, type: m.type, payload: m.payload, from: m.from, to: m.to, flow: m.flow, time: m.time, sequence: m.sequence,
  random: m.random, conversationID: m.conversationID, conversationType: m.conversationType, nick: m.nick, isRevoked: m.isRevoked,
  isPeerRead: m.isPeerRead, status: m.status, clientTime: m.clientTime,
});
const conversation = (c) => ({
  conversationID: c.conversationID, type: c.type, unreadCount: c.unreadCount,
  lastMessage: { messageForShow: c.lastMessage?.messageForShow, lastTime: c.lastMessage?.lastTime, fromAccount: c.lastMessage?.fromAccount, type: c.lastMessage?.type, payload: c.lastMessage?.payload, lastSequence: c.lastMessage?.lastSequence },
});

const EVENTS = TencentCloudChat.EVENT;
const seen = {
  [EVENTS.SDK_READY]: () => ({}),
  [EVENTS.SDK_NOT_READY]: () => ({}),
  [EVENTS.MESSAGE_RECEIVED]: (data) => data.map(message),
  [EVENTS.MESSAGE_REVOKED]: (data) => data.map(message),
  [EVENTS.MESSAGE_READ_BY_PEER]: (data) => data.map(message),
  [EVENTS.CONVERSATION_LIST_UPDATED]: (data) => data.map(conversation),
  [EVENTS.GROUP_LIST_UPDATED]: (data) => data.map((g) => ({ groupID: g.groupID, name: g.name, type: g.type })),
  [EVENTS.KICKED_OUT]: (data) => data,
  [EVENTS.NET_STATE_CHANGE]: (data) => data,
  [EVENTS.ERROR]: (data) => data,
};
for (const [event, shorten] of Object.entries(seen)) chat.on(event, ({ data }) => say({ event, data: shorten(data) }));

const make = {
  text: (to) => chat.createTextMessage(to),
  custom: (to) => chat.createCustomMessage(to),
  face: (to) => chat.createFaceMessage(to),
  location: (to) => chat.createLocationMessage(to),
};
const todo = {
  login: ({ userID, userSig }) => chat.login({ userID, userSig }),
  logout: () => chat.logout(),
  send: async ({ kind, to, conversationType, payload }) => message((await chat.sendMessage(make[kind]({ to, conversationType, payload }))).data.message),
  conversations: async () => (await chat.getConversationList()).data.conversationList.map(conversation),
  messages: async ({ conversationID, nextReqMessageID }) => {
    const { data } = await chat.getMessageList({ conversationID, nextReqMessageID });
    return { messages: data.messageList.map(message), nextReqMessageID: data.nextReqMessageID, isCompleted: data.isCompleted };
  },
  read: ({ conversationID }) => chat.setMessageRead({ conversationID }),
  createGroup: async (options) => (await chat.createGroup(options)).data.group.groupID,
  groups: async () => (await chat.getGroupList()).data.groupList.map((g) => g.groupID),
};

say({ event: "started", data: { version: TencentCloudChat.VERSION } });
readline.createInterface({ input: process.stdin }).on("line", async (line) => {
  const { id, do: name, ...options } = JSON.parse(line);
  try {
    const ok = await todo[name](options);
    say({ id, ok: ok === undefined ? null : ok.data !== undefined && ok.code !== undefined ? ok.data : ok });
  } catch (error) {
    say({ id, error: { code: error.code, message: error.message ?? String(error) } });
  }
}).on("close", () => process.exit(0));
