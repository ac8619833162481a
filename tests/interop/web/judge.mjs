// Controls Tencent's web client as its user would, by lines of JSON: commands on stdin, replies and events on stdout.
//
//   {"id": 1, "do": "login", "userID": "alice", "userSig": "…"}     →  {"id": 1, "ok": {…}} or {"id": 1, "error": {code, message}}
//   events of the client                                            →  {"event": "onMessageReceived", "data": […]}

import "./globals.mjs";
import { Picture } from "./files.mjs";
import fs from "node:fs";
import path from "node:path";
import readline from "node:readline";

const { default: TencentCloudChat } = await import("@tencentcloud/chat");
const { default: TIMUploadPlugin } = await import("tim-upload-plugin");
const out = process.stdout;
const say = (line) => out.write(JSON.stringify(line) + "\n");

// A browser continues after an unhandled rejection. So does this program, and reports the rejection.
process.on("uncaughtException", (error) => say({ event: "uncaughtException", data: { message: String(error?.stack ?? error) } }));
process.on("unhandledRejection", (error) => say({ event: "unhandledRejection", data: { code: error?.code, message: error?.message ?? String(error) } }));

const [, , SDKAppID, proxyServer, ...options] = process.argv;
const chat = TencentCloudChat.create({ SDKAppID: Number(SDKAppID), proxyServer });
if (!options.includes("without-plugins")) chat.registerPlugin({ "tim-upload-plugin": TIMUploadPlugin });
chat.setLogLevel(Number(process.env.CHAT_LOG_LEVEL ?? 4));

const known = new Map();  // messages that the client has shown, by ID
const message = (m) => known.set(m.ID, m) && ({
  ID: m.ID, type: m.type, payload: m.payload, from: m.from, to: m.to, flow: m.flow, time: m.time, sequence: m.sequence,
  random: m.random, conversationID: m.conversationID, conversationType: m.conversationType, nick: m.nick, isRevoked: m.isRevoked,
  isPeerRead: m.isPeerRead, status: m.status, clientTime: m.clientTime, atUserList: m.atUserList, nameCard: m.nameCard,
  needReadReceipt: m.needReadReceipt, readReceiptInfo: m.readReceiptInfo,
});
const conversation = (c) => ({
  conversationID: c.conversationID, type: c.type, unreadCount: c.unreadCount, isPinned: c.isPinned,
  markList: c.markList, customData: c.customData, conversationGroupList: c.conversationGroupList,
  lastMessage: { messageForShow: c.lastMessage?.messageForShow, lastTime: c.lastMessage?.lastTime, fromAccount: c.lastMessage?.fromAccount, type: c.lastMessage?.type, payload: c.lastMessage?.payload, lastSequence: c.lastMessage?.lastSequence },
});

const EVENTS = TencentCloudChat.EVENT;
const seen = {
  [EVENTS.SDK_READY]: () => ({}),
  [EVENTS.SDK_NOT_READY]: () => ({}),
  [EVENTS.MESSAGE_RECEIVED]: (data) => data.map(message),
  [EVENTS.MESSAGE_REVOKED]: (data) => data.map((m) => ({ ...message(m), revoker: m.revoker })),
  [EVENTS.MESSAGE_MODIFIED]: (data) => data.map((m) => ({ ...message(m), version: m.version })),
  [EVENTS.MESSAGE_READ_BY_PEER]: (data) => data.map(message),
  [EVENTS.CONVERSATION_LIST_UPDATED]: (data) => data.map(conversation),
  [EVENTS.GROUP_LIST_UPDATED]: (data) => data.map((g) => ({ groupID: g.groupID, name: g.name, type: g.type })),
  [EVENTS.KICKED_OUT]: (data) => data,
  [EVENTS.NET_STATE_CHANGE]: (data) => data,
  [EVENTS.FRIEND_LIST_UPDATED]: (data) => data.map((f) => ({ userID: f.userID, remark: f.remark, nick: f.profile?.nick })),
  [EVENTS.FRIEND_APPLICATION_LIST_UPDATED]: ({ friendApplicationList, unreadCount }) => ({ unreadCount, applications: friendApplicationList.map((a) => ({ userID: a.userID, wording: a.wording, type: a.type })) }),
  [EVENTS.BLACKLIST_UPDATED]: (data) => data,
  [EVENTS.PROFILE_UPDATED]: (data) => data.map((p) => ({ userID: p.userID, nick: p.nick, avatar: p.avatar })),
  [EVENTS.ERROR]: (data) => data,
};

// Any value of the client as JSON: its data, without methods, private members and what refers back to it.
const plain = (value, depth = 0) => {
  if (value === undefined || value === null || typeof value === "function" || depth > 8) return null;
  if (Array.isArray(value)) return value.map((one) => plain(one, depth + 1));
  if (value instanceof Map) return plain(Object.fromEntries(value), depth);
  if (typeof value !== "object") return value;
  if (value.conversationID !== undefined && value.payload !== undefined && value.flow !== undefined) return message(value);
  return Object.fromEntries(Object.entries(value).filter(([name, one]) => !name.startsWith("_") && typeof one !== "function").map(([name, one]) => [name, plain(one, depth + 1)]));
};
for (const event of Object.values(EVENTS)) seen[event] ??= plain;
// In arguments, {"$message": ID} is a message that the client has.
const revive = (value) => {
  if (Array.isArray(value)) return value.map(revive);
  if (value === null || typeof value !== "object") return value;
  if (value.$message !== undefined) return known.get(value.$message) ?? chat.findMessage(value.$message);
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, revive(one)]));
};
const hear = Object.fromEntries(Object.entries(seen).map(([event, shorten]) => [event, ({ data }) => say({ event, data: shorten(data) })]));
for (const event of Object.keys(seen)) chat.on(event, hear[event]);

const file = ({ path: name, type, size }) => {
  if (size) Picture.size = size;
  return { file: new File([fs.readFileSync(name)], path.basename(name), { type }) };
};
const make = {
  file: (to) => chat.createFileMessage({ ...to, payload: file(to.payload) }),
  audio: (to) => chat.createAudioMessage({ ...to, payload: { file: Object.assign(file(to.payload).file, { duration: 1000 }) } }),
  video: (to) => chat.createVideoMessage({ ...to, payload: { file: Object.assign(file(to.payload).file, { duration: 3 }) } }),
  image: (to) => chat.createImageMessage({ ...to, payload: file(to.payload) }),
  text: (to) => chat.createTextMessage(to),
  custom: (to) => chat.createCustomMessage(to),
  face: (to) => chat.createFaceMessage(to),
  location: (to) => chat.createLocationMessage(to),
};
const heard = Object.fromEntries(Object.values(TencentCloudChat.TSignaling).filter((event) => typeof event === "string").map((event) => [event, ({ data }) => say({ event, data: plain(data) })]));
const todo = {
  off: async ({ event }) => { chat.off(event, hear[event]); },
  on: async ({ event }) => { chat.on(event, hear[event]); },
  inviteSync: ({ options }) => new Promise((done, failed) => chat.inviteSync(options, (result) => done({ inviteID: result.inviteID }), failed)),
  inviteInGroupSync: ({ options }) => new Promise((done, failed) => chat.inviteInGroupSync(options, (result) => done({ inviteID: result.inviteID }), failed)),
  signals: async () => { for (const [event, hear] of Object.entries(heard)) chat.addSignalingListener(event, hear); },
  noSignals: async () => { for (const [event, hear] of Object.entries(heard)) chat.removeSignalingListener(event, hear); },
  call: async ({ method, args }) => {
    const result = await chat[method](...args.map(revive));
    const data = plain(result?.code === 0 && "data" in result ? result.data : result);
    return { result: result?.inviteID === undefined ? data : { ...data, inviteID: result.inviteID } };
  },
  plugin: async () => { chat.registerPlugin({ "tim-upload-plugin": TIMUploadPlugin }); },
  logged: async () => globalThis.logged,
  login: ({ userID, userSig }) => chat.login({ userID, userSig }),
  logout: () => chat.logout(),
  send: async ({ kind, to, conversationType, payload }) => message((await chat.sendMessage(make[kind]({ to, conversationType, payload }))).data.message),
  sendMade: async ({ kind, options }) => message((await chat.sendMessage(make[kind](options))).data.message),
  conversations: async () => (await chat.getConversationList()).data.conversationList.map(conversation),
  messages: async ({ conversationID, nextReqMessageID }) => {
    const { data } = await chat.getMessageList({ conversationID, nextReqMessageID });
    return { messages: data.messageList.map(message), nextReqMessageID: data.nextReqMessageID, isCompleted: data.isCompleted };
  },
  read: ({ conversationID }) => chat.setMessageRead({ conversationID }),
  edit: async ({ conversationID, ID, text }) => {
    const { data } = await chat.getMessageList({ conversationID });
    const target = data.messageList.find((m) => m.ID === ID);
    target.payload.text = text;
    return message((await chat.modifyMessage(target)).data.message);
  },
  pin: async (options) => (await chat.pinConversation(options)).data.conversationID,
  mute: async (options) => { await chat.setMessageRemindType(options); },
  revoke: async ({ conversationID, ID }) => {
    const { data } = await chat.getMessageList({ conversationID });
    return message((await chat.revokeMessage(data.messageList.find((m) => m.ID === ID))).data.message);
  },
  createGroup: async (options) => (await chat.createGroup(options)).data.group.groupID,
  group: async ({ groupID }) => {
    const { group: g } = (await chat.getGroupProfile({ groupID })).data;
    return { groupID: g.groupID, name: g.name, type: g.type, ownerID: g.ownerID, memberCount: g.memberCount, introduction: g.introduction, notification: g.notification, muteAllMembers: g.muteAllMembers, selfRole: g.selfInfo?.role };
  },
  members: async (options) => (await chat.getGroupMemberList(options)).data.memberList.map((m) => ({ userID: m.userID, role: m.role, nameCard: m.nameCard, muteUntil: m.muteUntil })),
  join: async (options) => (await chat.joinGroup(options)).data.status,
  invite: async (options) => { const { successUserIDList, failureUserIDList, existedUserIDList } = (await chat.addGroupMember(options)).data; return { successUserIDList, failureUserIDList, existedUserIDList }; },
  kick: async (options) => (await chat.deleteGroupMember(options)).data.userIDList,
  setGroup: async (options) => (await chat.updateGroupProfile(options)).data.group.name,
  setRole: async (options) => (await chat.setGroupMemberRole(options)).data.member.role,
  muteMember: async (options) => (await chat.setGroupMemberMuteTime(options)).data.member.muteUntil,
  setNameCard: async (options) => (await chat.setGroupMemberNameCard(options)).data.member.nameCard,
  passOn: async (options) => (await chat.changeGroupOwner(options)).data.group.ownerID,
  quit: async ({ groupID }) => (await chat.quitGroup(groupID)).data.groupID,
  dissolve: async ({ groupID }) => (await chat.dismissGroup(groupID)).data.groupID,
  setProfile: async (options) => (await chat.updateMyProfile(options)).data.nick,
  profiles: async (options) => (await chat.getUserProfile(options)).data.map((p) => ({ userID: p.userID, nick: p.nick, avatar: p.avatar })),
  addFriend: async (options) => ({ code: (await chat.addFriend(options)).data.code ?? 0 }),
  acceptFriend: (options) => chat.acceptFriendApplication(options),
  refuseFriend: (options) => chat.refuseFriendApplication(options),
  deleteFriend: async (options) => (await chat.deleteFriend(options)).data.successUserIDList.map((f) => f.userID),
  friends: async () => (await chat.getFriendList()).data.map((f) => f.userID),
  block: async (options) => (await chat.addToBlacklist(options)).data,
  unblock: async (options) => (await chat.removeFromBlacklist(options)).data,
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
